import com.avaya.vp.services.*;
import java.net.URL;
import org.apache.axis.SimpleTargetedChain;
import org.apache.axis.client.Stub;
import org.apache.axis.configuration.SimpleProvider;
import org.apache.axis.transport.http.CommonsHTTPSender;

/** Calls a portal with the classes that Axis 1.4 generates. "PortalService" stands for the name of
 * the service in its WSDL. Arguments: address, user, password. */
public class Client {
    public static void main(String[] given) throws Exception {
        SimpleProvider config = new SimpleProvider();
        // Axis's own sender knows Basic only; this one answers a Digest challenge.
        config.deployTransport("http", new SimpleTargetedChain(new CommonsHTTPSender()));
        PortalServiceType portal =
            new PortalServiceLocator(config).getPortalServiceSoap11(new URL(given[0]));
        ((Stub) portal).setUsername(given[1]);
        ((Stub) portal).setPassword(given[2]);

        QueryResourcesRequest query = new QueryResourcesRequest();
        query.setQueryResourcesRequestUnused(0);
        QueryResourcesResponse counts = portal.queryResources(query);
        System.out.println("counts " + counts.getTotalRes_returned() + " "
            + counts.getUnusedSIP_returned() + " " + counts.getUnusedH323_returned());

        LaunchVXMLRequest vxml = new LaunchVXMLRequest();
        vxml.setToURI("sip:1@127.0.0.1");
        vxml.setApplicationName("collections");
        vxml.setConnectTimeoutSecs(30);
        System.out.println("vxml " + portal.launchVXML(vxml).getSessionID_returned());

        LaunchCCXMLRequest ccxml = new LaunchCCXMLRequest();
        ccxml.setToURI("tel:2");
        ccxml.setApplicationName("surveys");
        ccxml.setLaunchTimeout(30);
        System.out.println("ccxml " + portal.launchCCXML(ccxml).getSessionID_returned());

        vxml.setApplicationName("Nowhere:collections");
        try {
            portal.launchVXML(vxml);
        } catch (FaultType fault) {
            System.out.println("fault " + fault.getReturnCode() + " " + fault.getDescription());
        }
    }
}
