import com.avaya.vp.services.*;
import jakarta.xml.ws.BindingProvider;
import jakarta.xml.ws.soap.SOAPFaultException;
import java.net.URL;
import org.w3c.dom.Element;

/** Calls a portal with the classes that CXF or JAX-WS generates. "PortalService" stands for the
 * name of the service in its WSDL. Arguments: address, user, password. */
public class Client {
    public static void main(String[] given) throws Exception {
        PortalServiceType portal =
            new PortalService(new URL(given[0] + "?wsdl")).getPortalServiceSoap11();
        ((BindingProvider) portal).getRequestContext()
            .put(BindingProvider.ENDPOINT_ADDRESS_PROPERTY, given[0]);
        Login.use(portal, given[1], given[2]);

        QueryResourcesRequest query = new QueryResourcesRequest();
        query.setQueryResourcesRequestUnused(0);
        QueryResourcesResponse counts = portal.queryResources(query);
        System.out.println("counts " + counts.getTotalResReturned() + " "
            + counts.getUnusedSIPReturned() + " " + counts.getUnusedH323Returned());

        LaunchVXMLRequest vxml = new LaunchVXMLRequest();
        vxml.setToURI("sip:1@127.0.0.1");
        vxml.setApplicationName("collections");
        vxml.setConnectTimeoutSecs(30);
        System.out.println("vxml " + portal.launchVXML(vxml).getSessionIDReturned());

        LaunchCCXMLRequest ccxml = new LaunchCCXMLRequest();
        ccxml.setToURI("tel:2");
        ccxml.setApplicationName("surveys");
        ccxml.setLaunchTimeout(30);
        System.out.println("ccxml " + portal.launchCCXML(ccxml).getSessionIDReturned());

        vxml.setApplicationName("Nowhere:collections");
        try {
            portal.launchVXML(vxml);
        } catch (SOAPFaultException fault) {
            // No LaunchVXMLFault: JAX-WS takes an annotation without a namespace for one with the
            // service's, so the portal's fault elements, which have none, are never its classes.
            Element detail = (Element) fault.getFault().getDetail().getFirstChild();
            System.out.println("fault " + find(detail, "returnCode") + " "
                + find(detail, "description"));
        }
        System.exit(0); // threads of the transport would go on
    }

    private static String find(Element detail, String name) {
        return detail.getElementsByTagNameNS("*", name).item(0).getTextContent();
    }
}
