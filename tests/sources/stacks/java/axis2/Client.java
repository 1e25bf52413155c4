import com.avaya.vp.services.*;
import com.avaya.vp.services.PortalServiceStub.*;
import org.apache.axis2.client.Options;
import org.apache.axis2.kernel.http.HTTPConstants;
import org.apache.axis2.transport.http.impl.httpclient4.HttpTransportPropertiesImpl;

/** Calls a portal with the classes that Axis 2 generates (ADB). "PortalService" stands for the name
 * of the service in its WSDL. Arguments: address, user, password. */
public class Client {
    public static void main(String[] given) throws Exception {
        PortalServiceStub portal = new PortalServiceStub(given[0]);
        HttpTransportPropertiesImpl.Authenticator login =
            new HttpTransportPropertiesImpl.Authenticator();
        login.setUsername(given[1]);
        login.setPassword(given[2]);
        Options options = portal._getServiceClient().getOptions();
        options.setProperty(HTTPConstants.AUTHENTICATE, login);
        // A body that is sent in chunks could not be sent again after a challenge.
        options.setProperty(HTTPConstants.CHUNKED, false);

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
        } catch (com.avaya.vp.services.LaunchVXMLFault fault) {
            FaultType detail = fault.getFaultMessage().getLaunchVXMLFault();
            System.out.println("fault " + detail.getReturnCode() + " " + detail.getDescription());
        }
        portal._getServiceClient().cleanupTransport();
        System.exit(0); // threads of the transport would go on
    }
}
